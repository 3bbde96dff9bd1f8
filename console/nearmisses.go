package console

func (c *Console) nearMissRoutes() []route { return nil }
