"""One module for each command of `vidrive`."""
