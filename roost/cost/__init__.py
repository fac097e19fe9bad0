"""What a chat costs on AWS: list prices, DynamoDB's units, what was metered, and an estimate for a team of any size."""
