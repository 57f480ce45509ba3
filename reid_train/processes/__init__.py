"""Several processes of one training: started, and talking to each other."""
