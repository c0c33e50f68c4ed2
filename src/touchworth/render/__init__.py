"""From results to what people look at: plots as Plotly figures, saved as HTML that needs no network."""
