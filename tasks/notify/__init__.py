"""Messages to people about runs, alarms and the state of all models, and the channels for them."""
