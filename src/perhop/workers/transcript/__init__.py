"""What was said in calls: kept while it is wanted, found by its words, given out in three formats."""
