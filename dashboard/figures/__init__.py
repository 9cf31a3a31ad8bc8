"""Figures as pure functions: table or arrays in, Plotly figure or Altair chart out."""
