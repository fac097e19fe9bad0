"""The Slack Web API: our core, in Slack's words. One file per method family, one table of all methods."""
