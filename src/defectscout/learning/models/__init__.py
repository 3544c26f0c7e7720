"""How each model family is trained: one small adapter each."""
