"""Files and folders of pictures restored, as a person or a program asks for it."""
