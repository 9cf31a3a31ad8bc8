"""Cases: from cells to the differential that a laboratory signs."""
