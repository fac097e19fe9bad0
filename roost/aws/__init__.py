"""AWS's shell: the core over DynamoDB and @connections, file for file beside `roost.local`."""
