"""What is run by hand, or shortly in CI, to see that nothing breaks: sanitizers, fuzzers, long use, exits."""
