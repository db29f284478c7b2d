"""What can be measured and told of a process without repeating what was said in it: logs and metrics."""
