import { render } from 'preact';
import { App } from './app.tsx';
import './styles/theme.css';
import './styles/base.css';
import './styles/layout.css';
import './styles/parts.css';
import './ui/theme.ts';

render(<App />, document.getElementById('app')!);
