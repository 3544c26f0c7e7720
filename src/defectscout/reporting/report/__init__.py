"""The report of a campaign: what it says (`document`, `build`), and how it is written (HTML, Markdown, PDF, JSON)."""
