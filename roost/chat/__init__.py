"""The core: rules, rights, the log, delivery. Imports itself and `roost.storage`, and nothing else of Roost."""
