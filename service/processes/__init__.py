"""The processes of ``cinelog serve`` and how they talk."""
