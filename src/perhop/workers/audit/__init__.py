"""What happened in calls, who did it, when, and how it went: added to, never changed, without what was said."""
