"""What became of each time at which the timetable would run a job."""
