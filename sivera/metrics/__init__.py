"""What the jobs are measured by: names and units, the rules of counting, and the forms in which the figures leave."""
