"""Views: state in, element trees out. Pure; no view knows the browser."""
