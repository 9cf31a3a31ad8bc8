"""The views of the Dataset page, one function in a module each; the page computes only the chosen one."""
