"""Admission: bounds on concurrent work and on what an account holds, fair between accounts."""
