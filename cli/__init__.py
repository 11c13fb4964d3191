"""What a person types: one file per noun. Nothing heavy is imported before a command needs it."""
