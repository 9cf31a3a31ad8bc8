"""The steps of the page 'Your lab'."""
