"""What the landscapes of one campaign or of several have in common: functions of campaigns that return rows of data."""
