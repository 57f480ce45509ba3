"""`python -m reid_train`: the installed command `reid-train`."""

from reid_data.lazy import installed_command

if __name__ == "__main__":
    installed_command("reid-train")()
