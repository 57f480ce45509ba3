"""`python -m reid_data`: the installed command `reid-data`."""

from reid_data.lazy import installed_command

if __name__ == "__main__":
    installed_command("reid-data")()
