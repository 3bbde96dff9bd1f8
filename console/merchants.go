package console

func (c *Console) merchantRoutes() []route { return nil }
