"""Coalition games: values, dividends and the indices made of them."""
