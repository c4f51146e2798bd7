"""Speech: openSMILE functionals, their reduction, and pauses."""
