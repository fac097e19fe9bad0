"""Plays API Gateway on one machine, for any Python serverless WebSocket app. Imports nothing of chat."""
