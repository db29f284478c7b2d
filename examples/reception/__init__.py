"""The front desk of an office: hours, directions, messages, departments, meetings."""
