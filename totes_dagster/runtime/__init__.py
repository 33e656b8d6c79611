"""What any kind of work needs: retries, progress, interruption and terminal output."""
