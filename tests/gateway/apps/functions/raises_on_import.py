raise KeyError("on import")
