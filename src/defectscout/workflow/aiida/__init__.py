"""Searches as AiiDA workflows: relaxations, scouting and their restarts on computers with a queue.

AiiDA is imported in here alone, and only by the modules that are named in the entry points and those that they need;
`tasks`, `options` and `links` work without it.
"""
