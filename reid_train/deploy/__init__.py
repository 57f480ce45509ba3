"""A trained model outside this tool: features of whatever a program holds, and the network as a file that others run."""
