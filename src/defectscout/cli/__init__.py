"""Commands: parse, call one function of workflow, print."""
