"""What is shown: the page with its charts and pairs of images, and the tables on the terminal. Builds on `arena/cells`,
`arena/statistics` and `report`."""
