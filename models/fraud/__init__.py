"""Phishing web sites: two models of one contract, the second plainly better than the first."""
