"""The functions of the Berkeley Function Calling Leaderboard as tools."""
