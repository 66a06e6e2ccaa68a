"""Images, sound, text and tables: read, written and shown."""
