"""The views of the Compare page, one function in a module each; the page computes only the chosen one."""
