"""The Web API, family by family, through `App.handle`."""
