"""What a person types, and what is over soon: no daemon needs to load this."""
