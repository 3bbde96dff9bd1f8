package console

func (c *Console) exhaustedRoutes() []route { return nil }
