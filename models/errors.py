"""The one exception the command line turns into a sentence and exit code 2."""


class UserError(Exception):
    """Something the user can mend: the message names the file, line or option and says what to do."""
