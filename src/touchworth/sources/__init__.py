"""Reading: from any file, frame or table to cleaned, encoded arrays."""
