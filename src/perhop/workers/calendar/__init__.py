"""Who or what can be booked when: free times, bookings, and calendars elsewhere that show and block them."""
