"""Whatever single thing fails at whatever moment: plain refreshes afterwards make the warehouse what it must be."""
