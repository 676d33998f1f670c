"""Movies: lists, single movies, changes and ways back."""
