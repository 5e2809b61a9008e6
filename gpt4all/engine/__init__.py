"""A loaded model: where it goes, its calls, the thread that does its work, its end."""
