"""What concurrent clients asked and were told, and whether one order of events explains it."""
